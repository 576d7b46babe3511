#include "core/error.h"

namespace zo2 {

const char* error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidConfig: return "ZO2_INVALID_CONFIG";
    case ErrorCode::kInvalidModel: return "ZO2_INVALID_MODEL";
    case ErrorCode::kUnsupportedModel: return "ZO2_UNSUPPORTED_MODEL";
    case ErrorCode::kInvalidData: return "ZO2_INVALID_DATA";
    case ErrorCode::kJournalCorrupt: return "ZO2_JOURNAL_CORRUPT";
    case ErrorCode::kJournalMismatch: return "ZO2_JOURNAL_MISMATCH";
    case ErrorCode::kRunExists: return "ZO2_RUN_EXISTS";
    case ErrorCode::kRunNotFound: return "ZO2_RUN_NOT_FOUND";
    case ErrorCode::kRunLocked: return "ZO2_RUN_LOCKED";
    case ErrorCode::kIo: return "ZO2_IO";
    case ErrorCode::kNonFinite: return "ZO2_NON_FINITE";
    case ErrorCode::kOutOfMemory: return "ZO2_OUT_OF_MEMORY";
    case ErrorCode::kClosed: return "ZO2_CLOSED";
    case ErrorCode::kBusy: return "ZO2_BUSY";
    case ErrorCode::kAborted: return "ZO2_ABORTED";
    case ErrorCode::kDevice: return "ZO2_DEVICE";
    case ErrorCode::kInternal: return "ZO2_INTERNAL";
  }
  return "ZO2_INTERNAL";
}

}  // namespace zo2
