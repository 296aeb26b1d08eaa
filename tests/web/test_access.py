"""Who may see a tab, and what is answered to everybody else."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.airflow

ROUTES = ["", "/view", "/failed", "/table", "/page", "/page?sound=1", "/row/0", "/row/0/page", "/row/0/page?sound=1"]


@pytest.mark.parametrize("rest", ROUTES)
def test_nobody_sees_anything_without_logging_in(client, ran, rest):
    """401 for every address, in HTML, whether there is such a task or not."""
    for path in (ran.path("batch", rest), ran.path("none", rest), ran.path("batch", rest, run_id="none")):
        shown = client(None).get(path, follow_redirects=False)
        assert shown.status_code == 401
        assert shown.headers["content-type"].startswith("text/html")
        assert "Log in" in shown.text


@pytest.mark.parametrize("rest", ROUTES)
def test_no_right_and_no_such_task_are_answered_alike(client, ran, rest):
    """The same status and the same words, so that nobody learns which DAGs, runs and tasks there are."""
    refused = client("nobody").get(ran.path("batch", rest))
    dag = ran.path("batch", rest).replace("/tab/tab/", "/tab/none/")
    for path in (ran.path("none", rest), ran.path("batch", rest, run_id="none"), dag):
        absent = client("viewer").get(path)
        assert (absent.status_code, _words(absent)) == (refused.status_code, _words(refused)) == (404, _words(refused))
        assert client("nobody").get(path).status_code == 404


@pytest.mark.parametrize("name", ["viewer", "admin"])
def test_who_may_read_the_dag_sees_it(client, ran, name):
    """Viewer and admin, every part of it."""
    for task_id, rest in (("one", "/view"), ("batch", "/table"), ("batch", "/row/0/page"), ("text", "/view")):
        assert client(name).get(ran.path(task_id, rest)).status_code == 200


def test_a_forged_token_opens_nothing(client, ran):
    """A cookie that Airflow has not signed is no user."""
    browser = client(None)
    browser.cookies.set("_token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsInJvbGUiOiJBRE1JTiJ9.")
    assert browser.get(ran.path("one", "/view"), follow_redirects=False).status_code in (401, 404)


def test_nothing_can_be_sent(client, ran):
    """Every address can be read, and that is all."""
    for rest in ROUTES:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            shown = client("admin").request(method, ran.path("batch", rest))
            assert shown.status_code in (404, 405)


def test_no_answer_is_kept_or_sets_a_cookie(client, ran):
    """Neither a browser nor a proxy keeps it; there is no state in cookies."""
    for task_id, rest in (("one", ""), ("one", "/view"), ("batch", "/table"), ("fails", "/view"), ("none", "/view")):
        shown = client("viewer").get(ran.path(task_id, rest))
        assert shown.headers["cache-control"] == "no-store"
        assert shown.headers["x-content-type-options"] == "nosniff"
        assert shown.headers["referrer-policy"] == "no-referrer"
        assert "set-cookie" not in shown.headers


def test_a_team_sees_its_own_dags_only(client, ran, monkeypatch):
    """The right is asked for with the DAG's team, where Airflow has teams."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.models.dag import DagModel

    if not hasattr(DagModel, "get_team_name"):
        pytest.skip("this Airflow has no teams")
    asked = []
    manager = type(get_auth_manager())
    original = manager.is_authorized_dag

    def noted(self, *, details=None, **named):
        asked.append(
            (getattr(details, "id", None), getattr(details, "team_name", "none"), named["access_entity"].value)
        )
        return original(self, details=details, **named)

    monkeypatch.setattr(manager, "is_authorized_dag", noted)
    monkeypatch.setattr(DagModel, "get_team_name", staticmethod(lambda dag_id, **_: f"team of {dag_id}"))
    client("viewer").get(ran.path("one", "/view"))
    assert asked == [("tab", "team of tab", "XCOM")]


def _words(answer):
    """Return an answer without what is made anew each time."""
    policy = answer.headers["content-security-policy"]
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    return answer.text.replace(nonce, "") if nonce else answer.text
