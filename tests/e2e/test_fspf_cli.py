"""The file shield as the public documentation uses it: its commands as they stand, in a stand-in for a container.

What cannot be here has the smallest stand-in there is: `cc` is the cross compiler, a bound directory is a `docker run
-v`, a copy is `COPY` of a Dockerfile, and `bannock run -- PROGRAM` is what the launcher of an image does with PROGRAM.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Final

import pytest

from tests.e2e import container

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.root

_TAG: Final = "[0-9a-f]{32}"
_NOT_ATTESTED: Final = "nothing is attested"

# -- the page SCONE_Fileshield: "Example"

_ORIGINALS: Final = """\
set -e
cat > /data-original/hello.txt << EOF
Hello World
EOF
cat > /data-original/world.py << EOF
f = open('/data/hello.txt', 'r')
print str(f.read())
EOF
"""
_PROTECT: Final = """\
cd /data
scone fspf create fspf.pb
scone fspf addr fspf.pb / --kernel / --not-protected
scone fspf addr fspf.pb /data --encrypted --kernel /data
scone fspf addf fspf.pb /data /data-original /data
shasum /data/*
shasum /data-original/*
scone fspf encrypt fspf.pb > /data-original/keytag
"""
_EXAMPLE: Final = """\
cat > example.c << EOF
#include <stdio.h>
#include <stdlib.h>

void printfile(const char* fn) {
    FILE *fp = fopen(fn, "r");
    char c;
    while((c=fgetc(fp))!=EOF){
        printf("%c",c);
    }
    fclose(fp);
}

int main() {
    printfile("/data/hello.txt");
    printfile("/data/world.py");
}
EOF
scone gcc example.c -o example
echo "without the shield:"
./example
export SCONE_FSPF_KEY=$(cat /data-original/keytag | awk '{print $11}')
export SCONE_FSPF_TAG=$(cat /data-original/keytag | awk '{print $9}')
export SCONE_FSPF=/data/fspf.pb
echo "with the shield:"
bannock run -- ./example
"""
#: Python 2, as far as the page needs it.
_PYTHON: Final = """\
echo "in Python:"
bannock run -- $PYTHON3 -c '
import re
exec(re.sub(r"print (.*)", r"print(\\1)", open("/data/world.py").read()))'
"""
_PLAIN: Final = "Hello World\nf = open('/data/hello.txt', 'r')\nprint str(f.read())\n"


@pytest.fixture
def volumes(tmp_path: Path) -> dict[str, Path]:
    """Directories as `docker run -v` puts them into the container."""
    made = {"data": tmp_path / "volume", "data-original": tmp_path / "data-original"}
    for directory in made.values():
        directory.mkdir()
    return made


def test_page_protects_files(tmp_path: Path, volumes: dict[str, Path]) -> None:
    """The page's sequence gives its sentences; originals are as on the page, what is in /data is something else."""
    done = container.run(tmp_path / "container", _ORIGINALS + _PROTECT, **volumes)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    for line, form in zip(
        lines,
        (
            f"Created empty file system protection file in fspf.pb. AES-GCM tag: {_TAG}",
            f"Added region / to file system protection file fspf.pb new AES-GCM tag: {_TAG}",
            f"Added region /data to file system protection file fspf.pb new AES-GCM tag: {_TAG}",
            f"Added files to file system protection file fspf.pb new AES-GCM tag: {_TAG}",
            "[0-9a-f]{40}  /data/fspf.pb",
            "[0-9a-f]{40}  /data/hello.txt",
            "[0-9a-f]{40}  /data/world.py",
            "648a6a6ffffdaa0badb23b8baf90b6168dd16b3a  /data-original/hello.txt",
            "deda99d44e880ea8f2250f45c5c20c15d568d84c  /data-original/world.py",
        ),
        strict=True,
    ):
        assert re.fullmatch(form, line), line
    assert "648a6a6f" not in lines[5]
    keytag = (volumes["data-original"] / "keytag").read_text()
    assert re.fullmatch(
        f"Encrypted file system protection file fspf.pb AES-GCM tag: {_TAG} key: [0-9a-f]{{64}}\n", keytag
    )
    assert b"Hello" not in (volumes["data"] / "hello.txt").read_bytes()


@pytest.mark.fuse
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_page_runs_programs(tmp_path: Path, volumes: dict[str, Path]) -> None:
    """A program that reads the files sees ciphertext without the shield and plaintext with it; so does a script."""
    done = container.run(tmp_path / "container", _ORIGINALS + _PROTECT + _EXAMPLE + _PYTHON, **volumes)
    assert done.returncode == 0, done.stderr
    _, _, ran = done.stdout.partition("without the shield:\n")
    without, _, ran = ran.partition("with the shield:\n")
    shielded, _, python = ran.partition("in Python:\n")
    assert "Hello" not in without
    assert shielded == _PLAIN
    assert python == "Hello World\n\n"
    assert _NOT_ATTESTED in done.stderr


# -- the page SCONE_Fileshield: "Protecting the Root Region" and "Checking the File System Shield"

#: Instead of `docker cp $CONTAINER_ID:/ ./rootvol`: a small image of this machine's own programs.
_IMAGE: Final = """\
set -e
cd
mkdir -p rootvol
for link in /bin /sbin /lib /lib32 /lib64 /libx32; do [ ! -L "$link" ] || cp -a "$link" rootvol/; done
for program in /bin/sh /bin/cat; do
    for file in $program $(ldd $program | grep -o '/[^ )]*'); do
        cp -L --parents "$(readlink -f "$(dirname $file)")/$(basename $file)" rootvol/
    done
done
rm -rf rootvol/dev rootvol/proc rootvol/media rootvol/mnt rootvol/usr/share/X11 rootvol/opt rootvol/sys
"""
_PROTECT_ROOT: Final = """\
scone fspf create fspf.pb
scone fspf addr fspf.pb / --kernel / --authenticated
scone fspf addf fspf.pb / ./rootvol /
scone fspf encrypt fspf.pb > keytag
cp fspf.pb /
export SCONE_FSPF_KEY=$(cat keytag | awk '{print $11}')
export SCONE_FSPF_TAG=$(cat keytag | awk '{print $9}')
export SCONE_FSPF=/fspf.pb
"""
_CHECK_SHIELD: Final = """\
set +e
cd /
cat > helloworld-manual.sh << EOF
echo "Hello World by hand"
EOF
bannock run -- /bin/sh helloworld-manual.sh
echo "by hand: $?"
SCONE_FSPF_MUTABLE=1 bannock run -- /bin/sh << 'SHELL'
echo 'echo "Hello World"' > helloworld.sh
SHELL
echo "written: $?"
bannock run -- /bin/sh helloworld.sh
echo "in the old state: $?"
export SCONE_FSPF_TAG=$(scone fspf show --tag /fspf.pb)
bannock run -- /bin/sh helloworld.sh
echo "in the new state: $?"
echo 'echo "Hello Attacker"' > helloworld.sh
bannock run -- /bin/cat helloworld.sh
echo "changed: $?"
"""


@pytest.mark.fuse
def test_page_protects_the_root(tmp_path: Path) -> None:
    """A file that was not added does not exist, one that the shield wrote does; a changed one cannot be read."""
    done = container.run(tmp_path / "container", _IMAGE + _PROTECT_ROOT + _CHECK_SHIELD)
    results = dict(line.split(": ") for line in done.stdout.splitlines() if re.fullmatch(r"[a-z ]+: \d+", line))
    assert results["written"] == results["in the new state"] == "0", done.stderr
    assert "0" not in (results["by hand"], results["in the old state"], results["changed"]), done.stdout
    assert done.stdout.count("Hello World\n") == 1
    assert "by hand\n" not in done.stdout
    assert "Attacker" not in done.stdout
    assert "Input/output error" in done.stderr


# -- the page SCONE_Fileshield: "Extended Example"

_EXTENDED: Final = """\
mkdir -p /example
mkdir -p /mnt/authenticated/
mkdir -p /mnt/encrypted/
cd /example
mkdir -p .original

scone fspf create fspf.pb

# add protection regions
scone fspf addr fspf.pb / -e --ephemeral
scone fspf addr fspf.pb /mnt/authenticated -a --kernel /mnt/authenticated
scone fspf addr fspf.pb /mnt/encrypted -e --kernel /mnt/encrypted

# add files

scone fspf addf fspf.pb /mnt/authenticated ./original

scone fspf addf fspf.pb /mnt/encrypted ./original ./mnt/encrypted
KEYTAG=`scone fspf encrypt fspf.pb`
export SCONE_FSPF_KEY=`echo $KEYTAG | awk '{print $11}'`
export SCONE_FSPF_TAG=`echo $KEYTAG | awk '{print $9}'`

echo "SCONE_FSPF_KEY=${SCONE_FSPF_KEY} ; SCONE_FSPF_TAG=${SCONE_FSPF_TAG}"
"""
_WRITE: Final = """\
cat > example.c << EOF
#include <stdio.h>

int main() {
    FILE *fp = fopen("/mnt/authenticated/hello", "w");
    fprintf(fp, "hello world\\n");
    fclose(fp);

    fp = fopen("/mnt/encrypted/hello", "w");
    fprintf(fp, "hello world\\n");
    fclose(fp);
}
EOF

scone gcc example.c -o sgxex
SCONE_FSPF=fspf.pb bannock run -- ./sgxex
"""
_READ: Final = """\
cat /mnt/authenticated/hello
cat /mnt/encrypted/hello > ciphertext
cat > cat.c << EOF
#include <stdio.h>

int main() {
    char buf[80];
    FILE *fp = fopen("/mnt/authenticated/hello", "r");
    fgets(buf, sizeof(buf), fp);
    fclose(fp);
    printf("read: '%s'\\n", buf);

    fp = fopen("/mnt/encrypted/hello", "r");
    fgets(buf, sizeof(buf), fp);
    fclose(fp);
    printf("read: '%s'\\n", buf);
}
EOF

scone gcc cat.c -o native_cat
echo "native:"
./native_cat
scone gcc cat.c -o sgxcat
echo "shielded:"
"""
#: The state has changed, and its tag with it: the page says so in the section before.
_NEW_STATE: Final = """\
export SCONE_FSPF_TAG=$(scone fspf show --tag fspf.pb)
SCONE_FSPF=fspf.pb bannock run -- ./sgxcat
scone fspf check fspf.pb --tag $SCONE_FSPF_TAG
"""


def test_page_slip_is_understood(tmp_path: Path) -> None:
    """The page makes `.original` and adds `./original`: the error says what was meant, and the rest goes on."""
    (tmp_path / "mnt").mkdir()
    done = container.run(tmp_path / "container", _EXTENDED, mnt=tmp_path / "mnt")
    assert done.returncode == 0
    assert done.stderr.count("Error: there is no directory original\nHint: did you mean .original?\n") == 2
    assert re.search(f"SCONE_FSPF_KEY=[0-9a-f]{{64}} ; SCONE_FSPF_TAG={_TAG}\n", done.stdout)


@pytest.mark.fuse
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_page_extended_example(tmp_path: Path) -> None:
    """One program writes to an authenticated and an encrypted region, another one reads both; the root is memory."""
    (tmp_path / "mnt").mkdir()
    script = _EXTENDED.replace("./original", "./.original") + _WRITE + _READ + _NEW_STATE
    done = container.run(tmp_path / "container", script, mnt=tmp_path / "mnt")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Error") == 0, done.stderr
    _, _, ran = done.stdout.partition("SCONE_FSPF_TAG=")
    authenticated, _, ran = ran.partition("native:\n")
    native, _, shielded = ran.partition("shielded:\n")
    assert authenticated.splitlines()[1:] == ["hello world"]
    assert native.startswith("read: 'hello world\n'\nread: '")
    assert native.count("hello world") == 1
    assert shielded.startswith("read: 'hello world\n'\nread: 'hello world\n'\n")
    assert shielded.endswith("result   whole\n")


# -- the tutorial "SCONE on Kubernetes": "Encrypt your source code"

_SOURCE: Final = """\
set -e
mkdir -p /tutorial/app
cat > /tutorial/app/server-tls.py << EOF
print("Hello from the server")
EOF
"""
_ENCRYPT: Final = """\
cd /tutorial
rm -rf app_image && mkdir -p app_image/app
cd app_image
scone fspf create fspf.pb
scone fspf addr fspf.pb / --not-protected --kernel /
scone fspf addr fspf.pb /app --encrypted --kernel /app
scone fspf addf fspf.pb /app /tutorial/app /tutorial/app_image/app
scone fspf encrypt fspf.pb > /tutorial/app/keytag
cd /tutorial/app_image/app && ls
"""
#: Instead of `docker build` with `COPY app_image /`, and of the session that CAS would hand out.
_SERVE: Final = """\
cp -a /tutorial/app_image/. /
cd /tutorial
export SCONE_FSPF_KEY=$(cat app/keytag | awk '{print $11}')
export SCONE_FSPF_TAG=$(cat app/keytag | awk '{print $9}')
export SCONE_FSPF=/fspf.pb
cd /
bannock run -- $PYTHON3 /app/server-tls.py
"""


def test_tutorial_encrypts_source_code(tmp_path: Path) -> None:
    """The tutorial's sequence leaves an image whose application is ciphertext, and its key and tag where they go."""
    (tmp_path / "tutorial").mkdir()
    done = container.run(tmp_path / "container", _SOURCE + _ENCRYPT, tutorial=tmp_path / "tutorial")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "server-tls.py"
    image = tmp_path / "tutorial" / "app_image"
    assert sorted(str(path.relative_to(image)) for path in image.rglob("*")) == ["app", "app/server-tls.py", "fspf.pb"]
    assert b"Hello" not in (image / "app" / "server-tls.py").read_bytes()
    assert b"server" not in (image / "fspf.pb").read_bytes()
    words = (tmp_path / "tutorial" / "app" / "keytag").read_text().split()
    assert re.fullmatch(_TAG, words[8])
    assert re.fullmatch("[0-9a-f]{64}", words[10])


@pytest.mark.fuse
def test_tutorial_runs_encrypted_source_code(tmp_path: Path) -> None:
    """An unmodified interpreter runs a script that is ciphertext on the disk."""
    (tmp_path / "tutorial").mkdir()
    done = container.run(tmp_path / "container", _SOURCE + _ENCRYPT + _SERVE, tutorial=tmp_path / "tutorial")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "Hello from the server"
