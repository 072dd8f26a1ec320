"""How the run of a program ended, as observed from outside. Pure data; nothing in it is the program's own claim."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """What was seen of a program and of everything it started.

    Attributes:
        exit_code: The program's exit code; None when a signal ended it or nobody saw its end.
        signal: The number of the signal that ended the program, or None.
        duration_seconds: Wall-clock time from the start to the end of the last process.
        cpu_seconds: User and system time of all processes together, as far as they could be reaped.
        timed_out: The wall-clock limit was reached and the tree was killed.
        output_flooded: The hard limit of output was reached and the tree was killed.
        output_bytes: Bytes read from stdout and stderr, kept or not.
        output_truncated: Some of these bytes were counted and dropped.
        stdout_tail: The last bytes of stdout; where a runtime prints its usage.
        killed_orphans: Processes other than the program itself that had to be killed.
        survivors: Some process could not be ended within the time allowed for it.
        supervised: The supervising process reported the end itself; False when it was lost, and the end was forced.
        note: What this platform could not do, one sentence, or the empty string.
    """

    exit_code: int | None
    signal: int | None
    duration_seconds: float
    cpu_seconds: float
    timed_out: bool
    output_flooded: bool
    output_bytes: int
    output_truncated: bool
    stdout_tail: bytes = field(repr=False)
    killed_orphans: int
    survivors: bool
    supervised: bool
    note: str


@dataclass(frozen=True, slots=True)
class ConfinedReport:
    """How a confined program ended.

    Attributes:
        process: What was seen of its processes. An exit code of 125 means that the last step of the confinement was
            refused and the program never started.
        exceeded: Which bound of the tree was passed: `memory`, `processes` or `workspace`; empty for none.
        limited_by: What held these bounds, for the evidence.
    """

    process: ProcessReport
    exceeded: str
    limited_by: str
