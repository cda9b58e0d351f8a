"""Commands read from and write to addresses as they do paths."""

from recbole_sheaf.cli import main
from recbole_sheaf.features import read_features


def test_encode_reads_and_writes_addresses(memory, workplace, capsys):
    memory.pipe("/shop/videos.csv", b"item_id,title\nv1,cats and dogs\nv2,cats\nv3,dogs\n")
    to = "memory://shop/features/title.npz"
    assert main(["encode", "text", "memory://shop/videos.csv", "--columns=title", "--dim=2", f"--to={to}"]) == 0
    assert f"written: {to} (3 rows of" in capsys.readouterr().out
    (workplace / "title.npz").write_bytes(memory.cat("/shop/features/title.npz"))
    assert read_features(workplace / "title.npz")[0] == ["v1", "v2", "v3"]


def test_convert_reads_an_address(memory, workplace):
    lines = [f"u{user},i{item}" for user in range(5) for item in range(4)]
    memory.pipe("/shop/clicks.csv", "\n".join(["user_id,item_id", *lines]).encode())
    assert main(["convert", "memory://shop/clicks.csv", "--to=data/shop"]) == 0
    assert (workplace / "data" / "shop" / "shop.inter").is_file()


def test_what_is_not_there_is_one_sentence(memory, workplace, capsys):
    for command in (
        ["convert", "memory://shop/absent.csv", "--to=data/shop"],
        ["encode", "text", "memory://shop/absent.csv", "--columns=title", "--to=title.npz"],
        ["recommend", "memory://shop/absent.npz"],
        ["export", "memory://shop/absent.safetensors", "--to=memory://shop/x.npz"],
    ):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert said.startswith("DataError: memory://shop/absent") and said.count("\n") == 1
