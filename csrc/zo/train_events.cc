#include "zo/train_events.h"

#include "zo/objective.h"

namespace zo2 {
namespace {

Json event_of(const char* name) {
  Json event = Json::object();
  event.set("event", name);
  return event;
}

}  // namespace

Json start_event(uint64_t resumed_from, uint64_t steps, uint64_t replayed_from,
                 const std::vector<std::string>& notes) {
  Json list = Json::array(), event = event_of("start");
  for (const std::string& note : notes) list.push(note);
  event.set("resumedFrom", resumed_from);
  event.set("steps", steps);
  event.set("replayedFrom", replayed_from);
  event.set("notes", list);
  return event;
}

Json step_event(const Record& record, const StepCosts& costs) {
  Json grads = Json::array();
  for (const double g : record.projected_grad) grads.push(g);
  const double plus = mean(record.loss_plus), minus = mean(record.loss_minus);
  const double loss = record.loss.value_or((plus + minus) / 2);
  Json event = event_of("step");
  event.set("step", record.step);
  event.set("seed", record.seed);
  event.set("lossPlus", plus);
  event.set("lossMinus", minus);
  event.set("loss", loss);
  event.set("projectedGrad", record.projected_grad[0]);
  event.set("projectedGrads", grads);
  event.set("learningRate", record.learning_rate);
  event.set("skipped", record.skipped);
  event.set("saturated", costs.saturated);
  event.set("elapsedMs", costs.elapsed_ms);
  event.set("tokens", costs.tokens);
  event.set("uploadBytes", costs.traffic.uploaded);
  event.set("offloadBytes", costs.traffic.offloaded);
  event.set("diskReadBytes", costs.traffic.disk_read);
  event.set("diskWriteBytes", costs.traffic.disk_written);
  return event;
}

Json checkpoint_event(uint64_t step) {
  Json event = event_of("checkpoint");
  event.set("step", step);
  return event;
}

Json eval_event(uint64_t step, const Evaluation& result, double elapsed_ms) {
  Json event = event_of("eval");
  event.set("step", step);
  event.set("loss", result.loss);
  event.set("accuracy", result.prediction.empty() ? Json() : Json(result.accuracy));
  event.set("elapsedMs", elapsed_ms);
  return event;
}

}  // namespace zo2
