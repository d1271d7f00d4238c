"""The speech worker's entry: `python -m appliance.engines.speech_worker`.

The recognizer's process is started before anything else is imported: both then load at once, which is what the time
from a crash to the next understood word consists of.
"""

from __future__ import annotations

from appliance.engines.ear_process import EarProcess


def main() -> int:
    ear = EarProcess()
    from appliance.engines.speech_session import serve  # see above

    return serve(ear)


if __name__ == "__main__":
    raise SystemExit(main())
