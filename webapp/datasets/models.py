"""Datasets, their immutable versions, the records of a version, and uploads."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from webapp.accounts.models import Workspace
from webapp.core.errors import translate
from webapp.jobs.models import Job


class Upload(models.Model):
    """A file that arrives in parts; `offset` bytes of `size` lie in the data folder. Resumable."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="uploads")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    name = models.CharField(max_length=255)
    size = models.PositiveBigIntegerField()
    offset = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name

    @property
    def is_complete(self) -> bool:
        return self.offset == self.size


class Dataset(models.Model):
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="one_dataset_per_name")]

    def __str__(self) -> str:
        return self.name


class VersionState(models.TextChoices):
    BUILDING = "building", _("building")
    READY = "ready", _("ready")
    FAILED = "failed", _("failed")


class DatasetVersion(models.Model):
    """Immutable once ready: a canonical JSONL file named by its content, its records as rows for search and paging."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=VersionState.choices, default=VersionState.BUILDING)
    origin = models.CharField(max_length=200, blank=True, help_text="file name, or what it was made from")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="children")
    job = models.ForeignKey(Job, null=True, blank=True, on_delete=models.SET_NULL, related_name="dataset_versions")
    sha256 = models.CharField(max_length=64, blank=True)
    path = models.CharField(max_length=400, blank=True, help_text="relative to the data folder")
    count = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    refused = models.PositiveBigIntegerField(default=0)
    errors_path = models.CharField(max_length=400, blank=True)
    stats = models.JSONField(default=dict)
    recipe = models.JSONField(default=dict, blank=True, help_text="how it was made: format, split, label project")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["dataset", "number"], name="one_version_per_number")]

    def __str__(self) -> str:
        return f"{self.dataset.name} v{self.number}"

    @property
    def error(self) -> str:
        """Why it was not built, in the reader's language."""
        job = self.job
        if self.state != VersionState.FAILED or job is None:
            return ""
        return translate(job.error_template, job.error_params) or str(job.get_state_display())


class RecordRow(models.Model):
    """One record of a version: its canonical JSON, and what lists and filters need of it.

    `text`: its words, up to a limit, for the line that a list shows. Positions count from 0 without gaps. Filters and full
    text are answered by the version's index (`webapp.datasets.indexes`), which names positions.
    """

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="records")
    position = models.PositiveBigIntegerField()
    key = models.CharField(max_length=120)
    digest = models.CharField(max_length=64)
    data = models.JSONField()
    text = models.TextField(blank=True)
    label = models.CharField(max_length=200, blank=True)
    language = models.CharField(max_length=16, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "position"], name="one_record_per_position")]

    def __str__(self) -> str:
        return f"{self.key} in version {self.version_id}"


class VersionMedia(models.Model):
    """A version holds the file of this digest: its records name it, and it was brought in or made within the workspace."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="+")
    sha256 = models.CharField(max_length=64)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "sha256"], name="one_row_per_file")]
        indexes = [models.Index(fields=["sha256"])]

    def __str__(self) -> str:
        return f"{self.sha256[:12]} in version {self.version_id}"


class SavedView(models.Model):
    """A filter of records with a name: the query of a page's address. Its maker sees it, and all members when it is shared."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="record_views")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=80)
    query = models.CharField(max_length=2000)
    shared = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "created_by", "name"], name="one_view_per_name")]

    def __str__(self) -> str:
        return self.name


class SpotCheck(models.Model):
    """A seeded random sample of a version that people judge good or bad; `positions` in the order of drawing."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="+")
    seed = models.PositiveBigIntegerField(default=0)
    positions = models.JSONField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.version} · {self.size}"

    @property
    def size(self) -> int:
        return len(self.positions)


class SpotJudgement(models.Model):
    """What a person said of one record. Rows are only ever added; the newest of a position is the one that counts."""

    spot_check = models.ForeignKey(SpotCheck, on_delete=models.CASCADE, related_name="judgements")
    position = models.PositiveBigIntegerField()
    good = models.BooleanField()
    reason = models.CharField(max_length=20, blank=True)
    note = models.CharField(max_length=500, blank=True)
    judged_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.position}: {'good' if self.good else self.reason}"
