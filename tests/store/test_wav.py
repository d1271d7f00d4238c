from __future__ import annotations

import array
import wave
from pathlib import Path

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from appliance.store import wav
from appliance.store.wav import WavFile, to_flac


def pcm(*samples: int) -> bytes:
    return array.array("h", samples).tobytes()


def read_with_the_standard_library(path: Path) -> tuple[int, int, bytes]:
    with wave.open(str(path)) as file:
        return file.getnchannels(), file.getframerate(), file.readframes(file.getnframes())


def test_left_is_the_first_side_and_the_file_is_whole_after_every_write(tmp_path: Path) -> None:
    file = WavFile(tmp_path / "a.wav")
    assert read_with_the_standard_library(file.path) == (2, 8000, b"")
    file.write(pcm(1, 2), pcm(-1, -2))
    assert read_with_the_standard_library(file.path) == (2, 8000, pcm(1, -1, 2, -2))
    file.write(pcm(3), pcm(-3))
    assert read_with_the_standard_library(file.path) == (2, 8000, pcm(1, -1, 2, -2, 3, -3))
    file.close()


def test_it_is_private_and_never_overwrites(tmp_path: Path) -> None:
    WavFile(tmp_path / "a.wav").close()
    assert (tmp_path / "a.wav").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        WavFile(tmp_path / "a.wav")


@given(left=st.binary(min_size=2, max_size=400), more=st.integers(0, 3))
def test_flac_has_the_same_samples_whatever_a_power_cut_left(
    tmp_path_factory: pytest.TempPathFactory, left: bytes, more: int
) -> None:
    left = left[: len(left) // 2 * 2]
    folder = tmp_path_factory.mktemp("wav")
    file = WavFile(folder / "a.wav")
    file.write(left, left[::-1])
    file.close()
    with file.path.open("ab") as torn:
        torn.write(bytes(more))
    stereo = read_with_the_standard_library(file.path)[2]
    flac = to_flac(file.path)
    assert flac is not None
    samples, rate_hz = soundfile.read(flac, dtype="int16", always_2d=True)
    assert (samples.tobytes(), rate_hz) == (stereo, 8000)
    assert [p.name for p in folder.iterdir()] == ["a.flac"]
    assert flac.stat().st_mode & 0o777 == 0o600


def test_a_header_that_lags_behind_its_data_loses_nothing(tmp_path: Path) -> None:
    file = WavFile(tmp_path / "a.wav")
    file.write(pcm(1, 2), pcm(3, 4))
    file.close()
    with file.path.open("r+b") as torn:
        torn.seek(40)
        torn.write(bytes(4))
    assert wav.duration_s(file.path) == 2 / 8000
    to_flac(file.path)
    samples, _ = soundfile.read(tmp_path / "a.flac", dtype="int16")
    assert samples.tolist() == [[1, 3], [2, 4]]


def test_a_conversion_that_cannot_be_written_leaves_the_wav(tmp_path: Path) -> None:
    file = WavFile(tmp_path / "a.wav")
    file.write(pcm(1), pcm(1))
    file.close()
    (tmp_path / "a.flac.part").mkdir()
    with pytest.raises(OSError, match="directory"):
        to_flac(file.path)
    assert file.path.exists()


def test_a_conversion_that_does_not_decode_to_the_same_leaves_the_wav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = WavFile(tmp_path / "a.wav")
    file.write(pcm(1, 2, 3), pcm(1, 2, 3))
    file.close()
    write = soundfile.SoundFile.buffer_write
    monkeypatch.setattr(soundfile.SoundFile, "buffer_write", lambda self, data, dtype: write(self, data[4:], dtype))
    with pytest.raises(OSError, match="same samples"):
        to_flac(file.path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


def test_a_recording_without_audio_is_removed(tmp_path: Path) -> None:
    WavFile(tmp_path / "a.wav").close()
    assert to_flac(tmp_path / "a.wav") is None
    assert not list(tmp_path.iterdir())


def test_duration_of_what_is_not_there_is_zero(tmp_path: Path) -> None:
    assert wav.duration_s(tmp_path / "none.wav") == 0
