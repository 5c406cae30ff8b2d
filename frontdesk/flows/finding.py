"""What an examination of the installation says: one line each."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`mend` None is fine, otherwise it says what to do."""

    subject: str
    words: str
    mend: str | None = None

    @property
    def ok(self) -> bool:
        return self.mend is None
