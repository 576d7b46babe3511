// Whether two types are identical: assignability in both directions does not see an optional field
// that one of them lacks.

type Flat<T> = T extends readonly (infer Item)[]
  ? Flat<Item>[]
  : T extends object
    ? { [K in keyof T]: Flat<T[K]> }
    : T;
/**
 * True, or never. The two functions have no name: of two uses of one name, the compiler compares what the name
 * is given, by assignability.
 */
export type Same<A, B> =
  (<X>() => X extends Flat<A> ? 1 : 2) extends <X>() => X extends Flat<B> ? 1 : 2 ? true : never;
