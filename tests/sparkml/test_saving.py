"""Stages and pipelines saved and loaded: Spark ML's metadata, our plan folder, no pickle."""

from __future__ import annotations

import json

import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import LogisticRegression

from penstock import fit
from penstock.errors import InputError, MissingFileError
from penstock.plan import FeaturePlan
from penstock.sparkml import FeaturePlanEstimator, FeaturePlanModel


def bits(frame):
    return [row[0].toArray().tobytes() for row in frame.select("features").collect()]


def names(folder):
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.rpartition("/")[2].startswith((".", "part-")))


def test_an_estimator_comes_back_with_its_params(tmp_path, estimator):
    made = estimator(layout="sparse", select={"min_variance": 0}, labelOutputCol="l")

    made.save(str(tmp_path / "e"))
    found = FeaturePlanEstimator.load(str(tmp_path / "e"))

    assert found.uid == made.uid
    assert found.spec() == made.spec()
    assert found.getLabelOutputCol() == "l"


def test_a_model_comes_back_with_its_plan_and_statistics(tmp_path, model, other_frame):
    made = model.copy({model.outputType: "vector", model.trainingRows: "never"})

    made.save(str(tmp_path / "m"))
    found = FeaturePlanModel.load(str(tmp_path / "m"))

    assert names(tmp_path / "m") == ["metadata/_SUCCESS", "plan/plan.json", "plan/statistics.json"]
    assert (found.uid, found.getTrainingRows()) == (made.uid, "never")
    assert found.plan.sha256 == model.plan.sha256
    assert found.statistics.to_json() == model.statistics.to_json()
    assert bits(found.transform(other_frame)) == bits(model.transform(other_frame))
    assert FeaturePlan.load(str(tmp_path / "m" / "plan")).to_json() == model.plan.to_json()


def test_saved_metadata_names_the_public_class(tmp_path, model):
    model.save(str(tmp_path / "m"))

    (part,) = (tmp_path / "m" / "metadata").glob("part-*")
    body = json.loads(part.read_text())

    assert body["class"] == "penstock.sparkml.FeaturePlanModel"
    assert body["defaultParamMap"] == {
        "outputCol": "features",
        "outputType": "vector",
        "trainingRows": "auto",
    }


def test_a_plan_with_long_vocabularies_comes_back_whole(tmp_path, estimator, spark):
    frame = spark.range(9000).selectExpr("id", "concat('v', id % 4500) AS c", "int(id % 2) AS y")
    ordinal = {"kind": "categorical", "columns": ["c"], "encode": "ordinal", "max_categories": 9000}
    made = estimator(features=[ordinal]).fit(frame)

    made.save(str(tmp_path / "m"))

    assert list((tmp_path / "m" / "plan").glob("plan-*.parquet"))
    assert FeaturePlanModel.load(str(tmp_path / "m")).plan.sha256 == made.plan.sha256


def test_pipelines_come_back(tmp_path, estimator, train_frame, other_frame):
    learner = LogisticRegression(labelCol="y", maxIter=2)
    pipeline = Pipeline(stages=[estimator(), learner])
    fitted = pipeline.fit(train_frame)

    pipeline.save(str(tmp_path / "pipeline"))
    fitted.save(str(tmp_path / "fitted"))
    again = Pipeline.load(str(tmp_path / "pipeline"))
    loaded = PipelineModel.load(str(tmp_path / "fitted"))

    # Scored by the loaded one alone: on Spark 4.1 a model that was just fitted carries its session along,
    # which cannot be sent to tasks any more once a query of it was observed.
    weights = [m.stages[1].coefficients.toArray().tobytes() for m in (fitted, loaded)]
    assert weights[0] == weights[1]
    assert loaded.transform(other_frame).where("prediction IN (0, 1)").count() == 700
    assert again.getStages()[0].spec() == pipeline.getStages()[0].spec()
    assert loaded.stages[0].plan.to_json() == fitted.stages[0].plan.to_json()


def test_a_path_that_is_taken_is_refused_unless_it_may_be_replaced(tmp_path, model):
    path = str(tmp_path / "m")
    model.save(path)
    (tmp_path / "m" / "plan" / "old").touch()

    with pytest.raises(InputError) as caught:
        model.save(path)
    model.write().overwrite().save(path)

    assert str(caught.value) == (
        f"save: something stands at {path!r}, expected nothing\n"
        "  save to another path, or replace it: stage.write().overwrite().save(path)"
    )
    assert not (tmp_path / "m" / "plan" / "old").exists()
    assert FeaturePlanModel.load(path).plan.sha256 == model.plan.sha256


def test_a_model_that_is_not_there_is_told(tmp_path, spark):
    with pytest.raises(MissingFileError) as caught:
        FeaturePlanModel.load(str(tmp_path / "none"))

    assert str(caught.value) == (
        f"FeaturePlanModel: nothing found at {str(tmp_path / 'none')!r}\n"
        "  name the folder that FeaturePlanModel.save wrote"
    )


def test_a_plan_that_was_changed_is_refused(tmp_path, model):
    model.save(str(tmp_path / "m"))
    file = tmp_path / "m" / "plan" / "plan.json"
    file.write_text(file.read_text().replace('"task": "binary"', '"task": "regression"'))

    with pytest.raises(InputError, match="it was changed after the fit"):
        FeaturePlanModel.load(str(tmp_path / "m"))


def test_a_model_without_a_plan_is_not_saved(tmp_path, spark):
    with pytest.raises(InputError, match="it has no plan"):
        FeaturePlanModel().save(str(tmp_path / "m"))

    assert not (tmp_path / "m").exists()


def test_file_systems_that_only_spark_knows_are_reached_over_it(tmp_path, spark, model):
    settings = spark.sparkContext._jsc.hadoopConfiguration()
    settings.set("fs.viewfs.mounttable.far.link./lake", tmp_path.as_uri())

    model.save("viewfs://far/lake/m")
    found = FeaturePlanModel.load("viewfs://far/lake/m")

    assert names(tmp_path / "m") == ["metadata/_SUCCESS", "plan/plan.json", "plan/statistics.json"]
    assert found.plan.sha256 == model.plan.sha256


def test_the_folder_of_a_fit_stage_makes_a_model(tmp_path, model):
    profile = {"rows": 900}
    fit.Fitted(plan=model.plan, statistics=model.statistics, profile=profile).save(str(tmp_path))

    found = FeaturePlanModel.load_plan(tmp_path.as_uri())

    assert found.plan.sha256 == model.plan.sha256
    assert found.statistics.to_json() == model.statistics.to_json()


def test_a_plan_on_s3_makes_a_model(s3, spark, model):
    model.plan.save(f"{s3}/plans/p")

    assert FeaturePlanModel.load_plan(f"{s3}/plans/p").plan.sha256 == model.plan.sha256
