/** What of a comparison tells whether updates are zero. */
interface Totals {
  readonly total: { readonly norm_a: number; readonly norm_b: number };
  readonly trained: readonly unknown[];
}

/**
 * Those of the names of two compared adapters whose update is zero; none where tensors are trained
 * in full, which change the model, too.
 */
export function zeroUpdates(
  { total, trained }: Totals,
  names: readonly [string, string],
): readonly string[] {
  if (trained.length > 0) return [];
  const norms = [total.norm_a, total.norm_b];
  return names.filter((_, i) => norms[i] === 0);
}
