"""What a plug-in author implements: connectors, tasks, converters, transforms, predicates.

Contracts are blocking and are called from one thread at a time, the task's own. The worker supplies
retries, batching, metrics and dead letters; a plug-in says what went wrong with the exceptions of
`syncline.errors`: RetriableError to be called again with the same input, DataError for a bad record,
ConnectError (or any other exception) to fail the task.
"""

from syncline.api.abilities import AltersOffsets, DecodesLists, EncodesLists, ExactlyOnceSource
from syncline.api.connector import Connector, ConnectorContext, SinkConnector, SourceConnector
from syncline.api.converter import Converter, HeaderConverter
from syncline.api.flow import Inflow, Outflow, TellsInflow, TellsOutflow
from syncline.api.plugin import Plugin, PluginKind, plugin
from syncline.api.sink import ErrantRecordReporter, SinkContext, SinkTask
from syncline.api.source import OffsetReader, SourceContext, SourceTask
from syncline.api.transform import Predicate, Transform

__all__ = [
    "AltersOffsets",
    "Connector",
    "ConnectorContext",
    "Converter",
    "DecodesLists",
    "EncodesLists",
    "ErrantRecordReporter",
    "ExactlyOnceSource",
    "HeaderConverter",
    "Inflow",
    "OffsetReader",
    "Outflow",
    "Plugin",
    "PluginKind",
    "Predicate",
    "SinkConnector",
    "SinkContext",
    "SinkTask",
    "SourceConnector",
    "SourceContext",
    "SourceTask",
    "TellsInflow",
    "TellsOutflow",
    "Transform",
    "plugin",
]
