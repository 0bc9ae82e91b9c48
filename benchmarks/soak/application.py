"""What each service runs: a ledger in a volume, one entry after another, each durable before the next.

It runs inside of the enclave, as text in the session, with the interpreter of the system. What it prints is what the
soak knows of it: ``ready GENERATION NUMBER``, ``try NUMBER``, ``done NUMBER``, ``failed NUMBER WHY``,
``damaged WHAT``, ``ends``: its volume takes no more, so it ends, as a database does.
"""

import errno
import hashlib
import os
import random
import sys
import time
from pathlib import Path

DATA = Path("/data")
KEY = os.environ["KEY"]
PAUSE = float(os.environ["PAUSE"])
#: Files that are written in turn; a later entry takes the place of an older one.
PIECES = 20
#: So many errors of input and output in a row are no accident.
MOST_REFUSED = 3


def say(*words: object) -> None:
    """Tell the soak."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def content(number: int) -> bytes:
    """Give what belongs to an entry, of up to 200 kB, which nobody without the secret can make up."""
    seed = f"{KEY} {number}".encode()
    size = 1000 + 3 * int.from_bytes(hashlib.sha256(seed).digest()[:2], "big")
    return hashlib.shake_256(seed).digest(size)


def piece(number: int) -> Path:
    """Give the file of an entry."""
    return DATA / "pieces" / str(number % PIECES)


def known() -> int:
    """Give the newest entry."""
    try:
        number, proof = (DATA / "state").read_text().split()
    except FileNotFoundError:
        return 0
    if proof != hashlib.sha256(f"{KEY} state {number}".encode()).hexdigest():
        say("damaged", "state")
        sys.exit(3)
    return int(number)


def check(number: int) -> None:
    """Compare the file of an entry with what it has to be."""
    if piece(number).read_bytes() != content(number):
        say("damaged", number)
        sys.exit(3)


def write(number: int) -> None:
    """Make an entry; it is durable when this returns."""
    with piece(number).open("wb") as file:
        file.write(content(number))
        file.flush()
        os.fsync(file.fileno())
    new = DATA / "state.new"
    with new.open("w") as file:
        file.write(f"{number} " + hashlib.sha256(f"{KEY} state {number}".encode()).hexdigest())
        file.flush()
        os.fsync(file.fileno())
    new.rename(DATA / "state")
    directory = os.open(DATA, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def main() -> None:
    """Look at everything, then go on until the end."""
    (DATA / "pieces").mkdir(exist_ok=True)
    number = known()
    for older in range(max(1, number - PIECES + 2), number + 1):
        check(older)
    say("ready", os.environ["GENERATION"], number)
    refused = 0
    while True:
        time.sleep(PAUSE * random.uniform(0.5, 1.5))  # noqa: S311 - not a secret
        say("try", number + 1)
        try:
            write(number + 1)
            number = known()
            check(random.randint(max(1, number - PIECES + 2), number))  # noqa: S311 - likewise
        except OSError as error:
            say("failed", number + 1, errno.errorcode.get(error.errno or 0, error.errno))
            refused = refused + 1 if error.errno == errno.EIO else 0
            if refused == MOST_REFUSED:
                say("ends")
                sys.exit(5)
        else:
            say("done", number)
            refused = 0


main()
