/** Something that happened at a place of the x axis. */
export interface Mark {
  readonly x: number;
  readonly kind: 'best' | 'checkpoint';
  /** Of the point that is marked. Without one, the mark stands at the foot of the chart. */
  readonly value?: number;
}
