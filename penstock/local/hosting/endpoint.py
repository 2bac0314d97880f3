"""An endpoint: variants with their servers, and what becomes of them."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from penstock.local.hosting import records
from penstock.local.hosting.chain import Chain
from penstock.local.hosting.container import Place
from penstock.local.hosting.models import containers_of
from penstock.local.site import Site
from penstock.local.wire import AwsError

__all__ = ["STARTUP_S", "Endpoint", "Variant"]

STARTUP_S = 240.0
GRACE_S = 30.0
PLANE_GRACE_S = 2.0
DRAIN_S = 60.0
_NUMBERS = itertools.count(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A production variant.

    Attributes:
        name: Of the variant.
        weight: Its share of the traffic, relative to the others'.
        instances: How many were asked for; one process serves.
        images: Of its containers.
        chain: Its servers.
    """

    name: str
    weight: float
    instances: int
    images: tuple[str, ...]
    chain: Chain

    def summary(self, since: Any, *, running: bool) -> dict[str, Any]:
        """Return it as DescribeEndpoint has it."""
        return {
            "VariantName": self.name,
            "DeployedImages": [
                {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": since}
                for image in self.images
            ],
            "CurrentWeight": self.weight,
            "DesiredWeight": self.weight,
            "CurrentInstanceCount": self.instances if running else 0,
            "DesiredInstanceCount": self.instances,
        }


class Endpoint:
    """One endpoint. Its status is moto's record's; what it does, it does in threads of its own."""

    def __init__(self, site: Site, region: str, name: str) -> None:
        """Take an endpoint of which moto has a record."""
        self._site, self._region, self.name = site, region, name
        self.group = f"/aws/sagemaker/Endpoints/{name}"
        self._record = records.endpoint(region, name)
        self._lock = threading.Lock()
        self._variants: tuple[Variant, ...] = ()
        self._coming: tuple[Variant, ...] = ()
        self._ending = False

    @property
    def arn(self) -> str:
        """Its ARN."""
        return str(self._record.arn)

    @property
    def status(self) -> str:
        """As DescribeEndpoint has it."""
        return str(self._record.endpoint_status)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Those that take requests."""
        return self._variants

    def chosen(self, target: str | None) -> Variant:
        """Return the variant of a request: the one it names, or one by chance and weight.

        Raises:
            AwsError: There is none of that name, or none has a weight.
        """
        variants = self._variants
        if target is not None:
            for variant in variants:
                if variant.name == target:
                    return variant
            raise AwsError(
                "ValidationError",
                f"Variant {target} of endpoint {self.name} not found, it has "
                f"{', '.join(variant.name for variant in variants)}.",
            )
        weights = [variant.weight for variant in variants]
        if not any(weights):
            raise AwsError(
                "ValidationError",
                f"All variants of endpoint {self.name} have weight 0: name one as TargetVariant, or "
                "give one a weight.",
            )
        return random.choices(variants, weights)[0]  # noqa: S311  not for secrets

    def create(self, config: Sequence[Mapping[str, Any]]) -> None:
        """Begin to start the variants of a configuration; returns at once.

        Raises:
            AwsError: A model is not there.
        """
        self._coming = self._made(config)
        self._show("Creating", self._coming, running=False)
        self._site.spawn(f"endpoint-{self.name}", self._bring_up)

    def update(
        self, config_name: str, config: Sequence[Mapping[str, Any]], *, retained: Set[str]
    ) -> None:
        """Begin to replace the variants by those of another configuration; returns at once.

        Args:
            config_name: Its name.
            config: Its variants.
            retained: What variants of the same name keep: ``DesiredWeight``,
                ``DesiredInstanceCount``.

        Raises:
            AwsError: Another change is under way, or a model is not there.
        """
        self._check_idle()
        now = {variant.name: variant for variant in self._variants}
        self._coming = tuple(
            _retaining(variant, now.get(variant.name), retained) for variant in self._made(config)
        )
        self._set(endpoint_status="Updating", failure_reason=None)
        self._site.spawn(f"endpoint-{self.name}", lambda: self._replace(config_name))

    def reweigh(self, wanted: Sequence[Mapping[str, Any]]) -> None:
        """Begin to change weights and instance counts; returns at once.

        Raises:
            AwsError: Another change is under way, or a variant is unknown or named twice.
        """
        self._check_idle()
        changes = {each["VariantName"]: each for each in wanted}
        known = {variant.name for variant in self._variants}
        for each in wanted:
            if each["VariantName"] not in known:
                raise AwsError(
                    "ValidationException",
                    f'The variant name(s) "{each["VariantName"]}" is/are not present within endpoint '
                    f'configuration "{self._record.endpoint_config_name}".',
                )
        if len(changes) < len(wanted):
            raise AwsError(
                "ValidationException", "The variant names are not unique in the request."
            )
        self._set(endpoint_status="Updating", failure_reason=None)

        def change() -> None:
            with self._lock:
                self._variants = tuple(
                    replace(
                        variant,
                        weight=float(
                            changes.get(variant.name, {}).get("DesiredWeight", variant.weight)
                        ),
                        instances=changes.get(variant.name, {}).get(
                            "DesiredInstanceCount", variant.instances
                        ),
                    )
                    for variant in self._variants
                )
            self._show("InService", self._variants, running=True)

        self._site.spawn(f"endpoint-{self.name}", change)

    def delete(self, gone: Any) -> None:
        """Begin to end all servers; returns at once.

        Args:
            gone: Called when they have ended.

        Raises:
            AwsError: Another change is under way.
        """
        self._check_idle(deleting=True)
        self._ending = True
        self._set(endpoint_status="Deleting")

        def end() -> None:
            self.stop(GRACE_S)
            gone()

        self._site.spawn(f"endpoint-{self.name}", end)

    def stop(self, grace_s: float = PLANE_GRACE_S) -> None:
        """End all servers, and wait until they have ended."""
        self._ending = True
        with self._lock:
            variants, self._variants, self._coming = (*self._variants, *self._coming), (), ()
        _end(variants, grace_s)

    def _check_idle(self, *, deleting: bool = False) -> None:
        if self.status != "InService" and not (deleting and self.status == "Failed"):
            raise AwsError(
                "ValidationException",
                f'Cannot update in-progress endpoint "{self.arn}".'
                if self.status != "Failed"
                else f'Cannot update failed endpoint "{self.arn}": delete it and create it again.',
            )

    def _made(self, config: Sequence[Mapping[str, Any]]) -> tuple[Variant, ...]:
        number = next(_NUMBERS)
        return tuple(self._variant(each, number) for each in config)

    def _variant(self, config: Mapping[str, Any], number: int) -> Variant:
        name = config["VariantName"]
        specs = containers_of(self._site, self._region, config["ModelName"])
        place = Place(
            folder=self._site.workdir("endpoints", f"{number}-{self.name}-{name}"),
            region=self._region,
            group=self.group,
            stream=f"{name}/local-{number}",
            owner=f"production variant {name}",
            kind="endpoint",
            startup_s=float(config.get("ContainerStartupHealthCheckTimeoutInSeconds") or STARTUP_S),
        )
        return Variant(
            name=name,
            weight=float(config.get("InitialVariantWeight", 1.0)),
            instances=int(config.get("InitialInstanceCount") or 1),
            images=tuple(spec.image for spec in specs),
            chain=Chain(self._site, specs, place, failed=self._broken),
        )

    def _start_coming(self) -> str | None:
        """Start the new variants; return None when all are healthy, or the first reason why not."""
        for variant in self._coming:
            variant.chain.start()
        for variant in self._coming:
            reason = variant.chain.wait(lambda: self._ending or self._site.stopping.is_set())
            if reason is not None:
                return reason
        return None

    def _bring_up(self) -> None:
        reason = self._start_coming()
        with self._lock:
            coming, self._coming = self._coming, ()
            if reason is None and not self._ending:
                self._variants = coming
        if self._variants is coming:
            self._show("InService", coming, running=True)
            return
        _end(coming, PLANE_GRACE_S)
        if not self._ending:
            self._show("Failed", coming, running=False, failure_reason=reason)

    def _replace(self, config_name: str) -> None:
        reason = self._start_coming()
        if reason is not None and not self._ending:
            self._set(endpoint_status="RollingBack", failure_reason=reason)
        with self._lock:
            coming, self._coming = self._coming, ()
            swapped = reason is None and not self._ending
            old = self._variants if swapped else coming
            if swapped:
                self._variants = coming
        if swapped:
            self._set(endpoint_config_name=config_name)
            for variant in old:
                variant.chain.drain(DRAIN_S)
        _end(old, GRACE_S if swapped else PLANE_GRACE_S)
        if not self._ending:
            self._show("InService", self._variants, running=True, failure_reason=reason)

    def _broken(self, reason: str) -> None:
        """Tell that a server that was healthy could not be brought up again."""
        if not self._ending and self.status == "InService":
            self._set(endpoint_status="Failed", failure_reason=reason)

    def _show(
        self, status: str, variants: Sequence[Variant], *, running: bool, failure_reason: Any = None
    ) -> None:
        since = self._record.last_modified_time
        self._set(
            endpoint_status=status,
            production_variants=[variant.summary(since, running=running) for variant in variants],
            failure_reason=failure_reason,
        )

    def _set(self, **values: Any) -> None:
        records.tell(self._record, **values)


def _retaining(variant: Variant, before: Variant | None, names: Set[str]) -> Variant:
    """Return a variant with what it keeps of the one of its name."""
    if before is None:
        return variant
    return replace(
        variant,
        weight=before.weight if "DesiredWeight" in names else variant.weight,
        instances=before.instances if "DesiredInstanceCount" in names else variant.instances,
    )


def _end(variants: Sequence[Variant], grace_s: float) -> None:
    """End servers, all at the same time."""
    threads = [
        threading.Thread(target=variant.chain.stop, args=(grace_s,), daemon=True)
        for variant in variants
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
