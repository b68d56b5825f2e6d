"""Parts that the dashboards have in common: variables, panels, rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.models.common import VisibilityMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_COLUMNS = 24  # of a dashboard
_HEIGHT = 8


@dataclass(frozen=True)
class Query:
    """A PromQL expression and the name of its series."""

    expr: str
    legend: str = ""


def board(title: str, uid: str, description: str) -> dashboard.Dashboard:
    """An empty dashboard with the data source as its first variable."""
    source = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["rljob"])
        .timezone("browser")
        .time("now-6h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("rljob")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["rljob"])
            .keep_time(True)
        )
        .with_variable(source)
    )


def variable(
    name: str, label: str, query: str, *, several: bool = False
) -> dashboard.QueryVariable:
    """A variable with the values of a label; `several`: any number of them, all at first."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(several)
        .include_all(several)
    )


def lines(
    title: str,
    queries: Sequence[Query],
    *,
    description: str,
    unit: str = "short",
    width: int = 8,
    low: float | None = None,
    high: float | None = None,
) -> timeseries.Panel:
    """Lines over time; `width` in twenty-fourths. A query without a legend gets the title's."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(width)
        .height(_HEIGHT)
        .line_width(1)
        .fill_opacity(8)
        .show_points(VisibilityMode.NEVER)
        .legend(common.VizLegendOptions().show_legend(True))
    )
    if low is not None:
        panel = panel.min(low)
    if high is not None:
        panel = panel.max(high)
    for place, query in enumerate(queries):
        panel = panel.with_target(_target(Query(query.expr, query.legend or title), place))
    return panel


def number(
    title: str, expr: str, *, description: str, unit: str = "short", width: int = 4
) -> stat.Panel:
    """The newest value."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(width)
        .height(4)
        .with_target(_target(Query(expr), 0).instant())
    )


def cells(title: str, expr: str, *, description: str, width: int = 8) -> heatmap.Panel:
    """A histogram over time, from the rates of its buckets."""
    query = _target(Query(expr, "{{le}}"), 0).format(PromQueryFormat.HEATMAP)
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(width)
        .height(_HEIGHT)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues"))
        .with_target(query)
    )


def rows(title: str, columns: dict[str, str], *, description: str) -> table.Panel:
    """A table with a row for each job; `columns`: titles, and expressions for the newest value."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(_COLUMNS)
        .height(_HEIGHT + 2)
    )
    names = {}
    for place, (name, expr) in enumerate(columns.items()):
        names[f"Value #{_id(place)}"] = name
        panel = panel.with_target(
            _target(Query(expr), place).format(PromQueryFormat.TABLE).instant()
        )
    return panel.with_transformation(
        DataTransformerConfig(id_val="merge", options={})
    ).with_transformation(
        DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True},
                "renameByName": names,
            },
        )
    )


def row(title: str) -> dashboard.Row:
    """The heading of the panels that follow."""
    return dashboard.Row(title)


def _target(query: Query, place: int) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .datasource(SOURCE)
        .expr(query.expr)
        .legend_format(query.legend)
        .ref_id(_id(place))
    )


def _id(place: int) -> str:
    return chr(ord("A") + place)
