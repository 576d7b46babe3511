// What a configuration is when every default is in its place.

/** T with every value but `Optional`, which have no default. */
export type Filled<T, Optional extends keyof T> = {
  [K in Exclude<keyof T, Optional>]-?: Exclude<T[K], undefined>;
} & { [K in Optional]?: T[K] };
