"""`python -m appliance` is `sidetone`."""

from appliance.cli import main

main()
