// Whether two types are identical: assignability in both directions does not see an optional field
// that one of them lacks.

type Flat<T> = T extends readonly (infer Item)[]
  ? Flat<Item>[]
  : T extends object
    ? { [K in keyof T]: Flat<T[K]> }
    : T;
type Probe<T> = <X>() => X extends Flat<T> ? 1 : 2;
/** True, or never. */
export type Same<A, B> = Probe<A> extends Probe<B> ? true : never;
