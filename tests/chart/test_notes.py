"""What helm prints at the end: the step that is left, and what the installation means."""

from .rendering import SIZE, Values, merged, notes

CLUSTER_WIDE: Values = {"rbac": {"namespaced": False}}


def words(*values: Values, **where: str) -> str:
    return " ".join(notes(*values, **where).split())


def test_the_label_that_helm_cannot_set_is_a_command_to_copy() -> None:
    assert "kubectl label namespace my-team chrek=enabled" in notes(SIZE)
    assert "helm cannot label a namespace that it creates" in notes(SIZE)
    elsewhere = notes(SIZE, {"watchNamespace": "team-a"}, namespace="chrek-system")
    assert "kubectl label namespace team-a chrek=enabled" in elsewhere
    assert "kubectl label namespace NAMESPACE chrek=enabled" in notes(CLUSTER_WIDE)


def test_one_line_is_told_plainly_who_has_node_rights() -> None:
    said = words(SIZE)
    assert (
        "Whoever may exec into pods of namespace my-team, read its Secrets, or create pods under"
        " its service accounts has node rights."
    ) in said
    assert "install chrek into a namespace of its own, with watchNamespace=my-team" in said
    assert "docs/install.md" in said


def test_a_namespace_of_its_own_is_to_be_kept_that_way() -> None:
    said = words(SIZE, {"watchNamespace": "team-a"}, namespace="chrek-system")
    assert "exec into pods of namespace chrek-system" in said
    assert "Keep everyone else out of it." in said
    assert "watchNamespace=" not in said


def test_a_claim_of_another_name_needs_an_annotation() -> None:
    command = "kubectl annotate namespace my-team chrek.io/claim=models"
    assert command in notes({"storage": {"pvc": {"existingClaim": "models"}}})
    assert command in notes(SIZE, {"storage": {"pvc": {"name": "models"}}})
    assert "kubectl annotate" not in notes(SIZE)


def test_what_stays_after_an_uninstall_is_said() -> None:
    said = words(SIZE)
    assert (
        "The claim chrek-checkpoints, with every checkpoint, stays (storage.pvc.keep=true)" in said
    )
    assert "kubectl --namespace my-team delete persistentvolumeclaim chrek-checkpoints" in said
    assert "kubectl delete customresourcedefinition checkpoints.chrek.io" in said
    goes = words(SIZE, {"storage": {"pvc": {"keep": False}}})
    assert "goes as well, with every checkpoint (storage.pvc.keep=false)" in goes
    existing = words({"storage": {"pvc": {"existingClaim": "models"}}})
    assert "The claim models, with every checkpoint, stays." in existing
    assert "delete persistentvolumeclaim" not in existing


def test_whose_keys_sign_is_said() -> None:
    said = words(SIZE)
    assert "keys that the first agent puts into Secret chrek-signing" in said
    assert "Secret chrek-signing stays: without its keys no checkpoint is trusted." in said
    assert "kubectl --namespace my-team delete secret chrek-signing" in said
    own = words(SIZE, {"signing": {"secretName": "company"}})
    assert "the keys in your Secret company. Without it the agents are not ready" in own
    assert "Your Secret company stays." in own
    assert "delete secret" not in own


def test_keys_that_go_with_the_claim_are_not_promised_to_stay() -> None:
    assert "delete secret" not in words(SIZE, {"storage": {"pvc": {"keep": False}}})


def test_what_happens_to_the_first_pod_and_the_later_ones_is_said() -> None:
    said = words(SIZE)
    assert "Its first pod starts cold and is checkpointed once it is Ready." in said
    assert "kubectl --namespace my-team describe pod POD" in said


def test_for_all_namespaces_each_needs_a_claim() -> None:
    assert "Each namespace needs a ReadWriteMany claim of its own" in words(CLUSTER_WIDE)
    two = words(merged(SIZE, CLUSTER_WIDE, {"storage": {"pvc": {"namespaces": ["a", "b"]}}}))
    assert "The claim chrek-checkpoints was made in: a, b." in two
    assert "Every other namespace needs" in two
    assert "kubectl --namespace b delete persistentvolumeclaim chrek-checkpoints" in two


def test_no_line_is_wider_than_a_terminal_or_ends_in_blanks() -> None:
    for values in (SIZE, CLUSTER_WIDE, merged(SIZE, {"watchNamespace": "team-a"})):
        for line in notes(values).splitlines():
            assert len(line) <= 110, line
            assert line == line.rstrip(), line
