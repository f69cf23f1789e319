def test_the_data_path_is_measured_alone(stage1_record):
    ours = {"batches, from a table of crops", "batches, from the images"}
    assert set(stage1_record["data"]) == ours | {"PIL, in this process", "PIL, 2 workers", "PIL, 4 workers"}
    assert all(
        0 < rate["quartile_1"] <= rate["median"] <= rate["quartile_3"] for rate in stage1_record["data"].values()
    )
