// The types that workflows and activities use: authors import Perdure alone.

@_exported public import enum PerdureEngine.MigrationError
@_exported public import struct PerdureEngine.WorkflowResetOptions
@_exported public import enum PerdureEngine.WorkflowResetPoint
@_exported public import struct PerdureModel.Failure
@_exported public import enum PerdureModel.JSON
@_exported public import struct PerdureModel.Payload
@_exported public import struct PerdureModel.RetryPolicy
@_exported public import struct PerdureModel.RetryState
@_exported public import struct PerdureModel.TimeoutType
