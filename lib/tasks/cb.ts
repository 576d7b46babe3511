// CommitmentBank (super_glue/cb). Labels: 0 entailment, 1 contradiction, 2 neutral.
import { mezoChoice } from "./mezo.js";
import type { TaskMaker } from "./task.js";

export const cb: TaskMaker = mezoChoice({
  name: "cb",
  template: 'Suppose {premise} Can we infer that "{hypothesis}"? Yes, No, or Maybe?\n',
  options: ["Yes", "No", "Maybe"],
});
