"""Tests of the local cloud. Those of `test_emulator_*` run each observation twice, on the emulator as it comes and on
the mended one, so that a patch that is no longer needed shows itself by a failing test."""
