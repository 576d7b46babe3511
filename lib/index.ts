// Everything public, and nothing else.
export type {
  DataConfig,
  EvaluateConfig,
  EvaluateScheduleConfig,
  ExportConfig,
  AblationConfig,
  GenerateConfig,
  JsonRow,
  LoraConfig,
  NamePattern,
  PlacementConfig,
  PrefixTuningConfig,
  Prompt,
  ResolvedTrainConfig,
  ScheduleConfig,
  Size,
  Storage,
  TrainConfig,
} from "./config/types.js";
export type { MethodConfig } from "./config/method-types.js";
export type { PlanConfig } from "./config/plan-types.js";
export { resolveTrainConfig } from "./config/resolve.js";
export type { DataReport, RowProblem } from "./data/report.js";
export { type DoctorReport, doctor } from "./doctor.js";
export type { DownloadEvent, HubOptions } from "./hub/snapshot.js";
export { Zo2Error, type Zo2ErrorCode } from "./errors.js";
export { type EvaluateOptions, evaluate } from "./evaluate.js";
export type { EvaluatedRow, EvaluateResult } from "./evaluation.js";
export type {
  CheckpointEvent,
  DataEvent,
  EvaluationEvent,
  TrainEvent,
  TrainResult,
  TrainStep,
} from "./events.js";
export { type ExportOptions, type ExportResult, exportModel } from "./exporter.js";
export { type ReplayRequest, replay } from "./replay.js";
export { type ReportRequest, type ReportResult, writeReport } from "./report.js";
export { generate, type GenerateOptions, generateStream } from "./generate.js";
export type {
  FinishReason,
  Generation,
  GenerationTimes,
  TokenEvent,
} from "./generation/generation.js";
export { measureCpu } from "./measure-cpu.js";
export { deviceProfiles, type Plan, plan } from "./plan.js";
export type {
  CpuFigures,
  DeviceFigure,
  DeviceProfile,
  NativePrediction as PlanPrediction,
} from "./native-plan.js";
export { type ModelShape, shapeNames, shapeOf } from "./shapes.js";
export { normals } from "./noise.js";
export type {
  LogprobObjective,
  Objective,
  ScoredRow,
  TextObjective,
  WrittenRow,
} from "./objective.js";
export { defineTask, type TaskDefinition } from "./tasks/define.js";
export type { Fields, RowOf } from "./tasks/fields.js";
export { answerF1, exactMatch, normalizeAnswer } from "./tasks/answers.js";
export type {
  AnswerSettings,
  ChatExample,
  ChatMessage,
  CompletionExample,
  GenerationExample,
  LmExample,
  OptionsExample,
  Task,
  TaskKind,
  TaskReference,
  Text,
  TextExample,
} from "./tasks/task.js";
export { train } from "./train.js";
export { Trainer } from "./trainer.js";
export type { TrainerOptions } from "./training-run.js";
