"""Several data sets as one, with the site of each study kept."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.config import DataConfig, setting
from core.data.labels import UNKNOWN
from core.data.manifest import label_columns
from core.data.readers.base import MANIFEST_COLUMNS, READERS, REPORT, Reader
from core.data.regions import no_regions, read_regions, write_regions
from core.errors import ConfigError, check_choice, did_you_mean, require

# Settings that members take from the pool where they do not say otherwise.
SHARED = ("split_seed", "validate_fraction", "test_fraction", "reports")
# Data sets made of one another's films: the same patient would stand in one's train and the other's test split.
SAME_FILMS = {"nih": "ChestX-ray14", "rsna": "ChestX-ray14", "siim": "ChestX-ray14"}


@dataclass
class PoolConfig(DataConfig):
    """Settings of `pool`."""

    name: str = setting("pool", "several data sets as one")
    members: dict[str, Any] = setting(
        {},
        "site -> a data set's settings, such as data.members.nih.root=/datasets/nih; its `name` defaults to the site",
    )
    held_out: list[str] = setting([], "members whose patients all go to test, to see how a model travels")

    def __post_init__(self) -> None:
        super().__post_init__()
        for site in self.held_out:
            check_choice("data.held_out", site, self.members)
        require(
            not self.members or set(self.held_out) < set(self.members),
            "data.held_out names every member",
            "leave one for training",
        )
        films: dict[str, str] = {}
        for site, config in self.configs().items():
            source = SAME_FILMS.get(config.name, site)
            other = films.setdefault(source, site)
            require(
                other == site,
                f"data.members: {other} and {site} hold films of the same patients ({source}), and no table says which",
                "pool one of them; the other can be a data set of its own",
            )

    def configs(self) -> dict[str, DataConfig]:
        """The members' own configs, by site. Raises ConfigError for an unknown reader, key or value."""
        return {site: self._config(site, given) for site, given in self.members.items()}

    def _config(self, site: str, given: Any) -> DataConfig:
        where = f"data.members.{site}"
        require(isinstance(given, dict), f"{where}={given} is no mapping of settings", f"write {where}.root=/path")
        name = str(given.get("name", site))
        if name == self.name or name not in READERS.names():
            known = [reader for reader in READERS.names() if reader != self.name]
            raise ConfigError(
                f"{where}: there is no data set {name!r}", f"{did_you_mean(name, known)} or set {where}.name"
            )
        kind = READERS.get(name).config
        known = [item.name for item in fields(kind)]
        for key in given:
            require(key in known, f"{where}: there is no setting {key!r}", did_you_mean(str(key), known))
        settings = {key: getattr(self, key) for key in SHARED} | given | {"name": name}
        try:
            config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), settings))
        except OmegaConfBaseException as error:
            raise ConfigError(f"{where}: {str(error).splitlines()[0]}") from error
        assert isinstance(config, DataConfig)
        return config


@READERS.register("pool", config=PoolConfig)
class Pool:
    """Several data sets as one, with the site kept: for pre-training over sites and for transfer between them."""

    VERSION = 2  # raised whenever the same members would give another manifest

    def __init__(self, config: PoolConfig) -> None:
        self.config = config

    def _members(self) -> dict[str, Reader]:
        require(
            len(self.config.members) > 1,
            "data.members names fewer than two data sets",
            "such as data.members.nih.root=/datasets/nih data.members.chexpert.root=/datasets/chexpert",
        )
        return {site: READERS.build(config) for site, config in sorted(self.config.configs().items())}

    def identity(self) -> dict[str, Any]:
        """What determines each member, the settings of its split, and who is held out."""
        configs = self.config.configs()
        members = {
            site: {
                "name": configs[site].name,
                "reader": reader.identity(),
                "shared": [getattr(configs[site], key) for key in SHARED],
            }
            for site, reader in self._members().items()
        }
        return {"version": self.VERSION, "members": members, "held_out": sorted(self.config.held_out)}

    def manifest(self, workspace: Path) -> pd.DataFrame:
        """The members' manifests below each other, every id prefixed with its site.

        `site` is the member's name, and its own site behind that where it has some. A label that a member does not
        have is UNKNOWN there, and a report "". The regions are pooled too.
        """
        parts, boxes = [], [no_regions()]
        for site, reader in self._members().items():
            parts.append(self._part(site, reader.manifest(workspace / site / "source")))
            found = read_regions(workspace / site)
            boxes.append(found.assign(image_id=prefixed(site, found["image_id"])))
        labels = list(dict.fromkeys(name for part in parts for name in label_columns(part)))
        blank = dict.fromkeys(labels, UNKNOWN) | ({REPORT: ""} if any(REPORT in part.columns for part in parts) else {})
        complete = [part.assign(**{k: v for k, v in blank.items() if k not in part.columns}) for part in parts]
        pooled = pd.concat(complete, ignore_index=True)[[*MANIFEST_COLUMNS, *blank]]
        write_regions(pd.concat([table for table in boxes if len(table)] or boxes, ignore_index=True), workspace)
        return pooled.astype(dict.fromkeys(labels, "float32"))

    def _part(self, site: str, manifest: pd.DataFrame) -> pd.DataFrame:
        ids = {name: prefixed(site, manifest[name]) for name in ("patient_id", "study_id", "image_id")}
        own = manifest["site"].map(lambda name: f"{site}/{name}" if name else site)
        split = "test" if site in self.config.held_out else manifest["split"]
        return manifest.assign(**ids, site=own, split=split)


def prefixed(site: str, ids: pd.Series) -> pd.Series:
    """Ids that are unique over sites."""
    return site + ":" + ids


__all__ = ["Pool", "PoolConfig"]
