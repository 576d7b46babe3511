// Errors are values of one type with a stable code. Inside the native code they travel as
// exceptions; the napi layer turns them into JavaScript errors with the same `code`, and nothing
// else crosses it.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace zo2 {

// Stable, documented in docs/errors.md. The TypeScript facade knows the same names.
enum class ErrorCode {
  kInvalidConfig,     // ZO2_INVALID_CONFIG: a value the user gave cannot be used
  kInvalidModel,      // ZO2_INVALID_MODEL: a checkpoint is malformed, truncated or inconsistent
  kUnsupportedModel,  // ZO2_UNSUPPORTED_MODEL: well-formed, but of a family or type not supported
  kInvalidData,       // ZO2_INVALID_DATA: rows that cannot be trained on
  kJournalCorrupt,    // ZO2_JOURNAL_CORRUPT: a journal damaged before its tail
  kJournalMismatch,   // ZO2_JOURNAL_MISMATCH: a journal of another run, model or configuration
  kRunExists,         // ZO2_RUN_EXISTS: resume is "never" and the directory holds a run
  kRunNotFound,       // ZO2_RUN_NOT_FOUND: resume is "required" and there is none
  kRunLocked,         // ZO2_RUN_LOCKED: another process holds the run directory
  kIo,                // ZO2_IO: the operating system refused a read, write or sync
  kNonFinite,         // ZO2_NON_FINITE: maxSkipped losses in a row were not finite
  kOutOfMemory,       // ZO2_OUT_OF_MEMORY: an allocation or budget was exceeded
  kClosed,            // ZO2_CLOSED: the engine was closed
  kBusy,              // ZO2_BUSY: the engine is in a state that does not allow the call
  kAborted,           // ZO2_ABORTED: stopped on request
  kDevice,            // ZO2_DEVICE: there is no such device, or it failed
  kInternal,          // ZO2_INTERNAL: a bug in zo2
};

const char* error_code_name(ErrorCode code);

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace zo2
