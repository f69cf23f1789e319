"""What tells runs apart, and what does not."""

from lt_lightning.same_run import digest_of, short_hash, without


def test_where_a_run_runs_does_not_tell_it_from_another():
    """A job may be put back onto other nodes, and a script may name its newest checkpoint."""

    def digest(command="fit", ckpt_path=None, size=64, **options):
        trainer = {"max_epochs": 3, "devices": options.get("devices", 1), "default_root_dir": options.get("folder")}
        data = {"batch_size": size, "root": options.get("root"), "num_workers": options.get("workers", 0)}
        config = {"trainer": trainer, "data": {"class_path": "Mine", "init_args": data}, "ckpt_path": ckpt_path}
        return digest_of(command, config)

    assert digest() == digest(devices=4, folder="mine", root="data", workers=8, ckpt_path="last.ckpt")
    assert len({digest(), digest(size=32), digest(command="test")}) == 3


def test_options_are_left_out_by_their_whole_name():
    config = {"root": 1, "data": {"init_args": {"root": 2, "part": {"root": 3}}}, "trainer": None}
    left = without(config, ["data.init_args.root", "trainer.devices", "lacking.root"])
    assert left == {"root": 1, "data": {"init_args": {"part": {"root": 3}}}, "trainer": None}
    assert config["data"]["init_args"]["root"] == 2  # a copy was made


def test_the_order_of_keys_is_of_no_account():
    assert short_hash({"a": 1, "b": [2]}) == short_hash({"b": [2], "a": 1}) != short_hash({"a": 1, "b": [3]})
