"""The AWS emulator (ministack), started in this process with its defects mended at run time. No file of the emulator
is edited: each mend is a `Patch` with its reason, and `localcloud/tests` shows the defect without it, so that a patch
can go as soon as the emulator does without."""
