"""board -> PlatformIO's build: the flags, sources and link script that SConstruct uses, from the same module."""

import shutil
import sys
from pathlib import Path

from SCons.Script import AlwaysBuild, Default, DefaultEnvironment

env = DefaultEnvironment()
ROOT = Path(env.PioPlatform().get_dir()).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "hostsim")]

from espike import chips, toolchain  # noqa: E402
from espike_sim.errors import EspikeError  # noqa: E402

board = toolchain.read_board(Path(env.GetProjectConfig().get("platformio", "boards_dir"), f"{env['BOARD']}.json"))


def fail(error):
    """End the build with one line."""
    sys.stderr.write(f"espike: {error}\n")
    env.Exit(1)


def make_image(target, source, env):
    """ELF file -> what the chip's boot loader takes."""
    try:
        chips.chip_image(board, Path(str(source[0])))
    except EspikeError as error:
        fail(error)


def install(target, source, env):
    """Put an emulated board's firmware where `espike boards` and its like start it."""
    path = toolchain.firmware_path(board)
    path.parent.mkdir(parents=True, exist_ok=True)
    copy = path.with_suffix(".new")
    shutil.copyfile(str(source[0]), copy)
    copy.replace(path)
    print(f"installed as {path}: start it with espike boards {board['name']}")


try:
    toolchain.require_compiler(board)
except EspikeError as error:
    fail(error)

prefix = board["compiler"].removesuffix("gcc")
env.Replace(
    CC=board["compiler"],
    AS=board["compiler"],
    LINK=board["compiler"],
    AR=f"{prefix}gcc-ar",
    RANLIB=f"{prefix}gcc-ranlib",
    SIZETOOL=f"{prefix}size",
    PROGNAME="firmware",
    PROGSUFFIX=".elf",
)
env.Append(
    CFLAGS=[*toolchain.board_flags(board), *toolchain.firmware_defines(board), f"-I{toolchain.FIRMWARE}"],
    ASPPFLAGS=["-x", "assembler-with-cpp", *board["flags"]],
    LINKFLAGS=[*board["flags"], *toolchain.link_flags(board)],
    LIBS=[library.removeprefix("-l") for library in toolchain.link_libraries(board)],
)

for folder in toolchain.port_folders(board):
    env.BuildSources(str(Path("$BUILD_DIR", "port", folder.name)), str(folder), "-<*> +<*.S> +<*.c>")

program = env.BuildProgram()
targets = [env.Alias("size", program, env.VerboseAction("$SIZETOOL -B -d $SOURCES", "Sizes of $SOURCE"))]
AlwaysBuild(targets[0])

if "chip" in board:
    image = env.Command("$BUILD_DIR/firmware.bin", program, env.VerboseAction(make_image, "Building $TARGET"))
    env.Replace(
        UPLOADER="$PYTHONEXE",
        UPLOADERFLAGS=[
            *("-m", "esptool", "--chip", board["chip"], "--port", "$UPLOAD_PORT", "--baud", "$UPLOAD_SPEED"),
            *("write-flash", hex(board["flash_map"]["firmware"])),
        ],
        UPLOADCMD="$UPLOADER $UPLOADERFLAGS $SOURCE",
    )
    upload = [env.VerboseAction(env.AutodetectUploadPort, "Looking for the port"), "$UPLOADCMD"]
    env.AddPlatformTarget("upload", image, upload, "Upload")
    Default([program, image])
else:
    upload = "$UPLOADCMD" if env.get("UPLOADCMD") else install
    env.AddPlatformTarget("upload", program, env.VerboseAction(upload, "Uploading $SOURCE"), "Upload")
    Default([program])
