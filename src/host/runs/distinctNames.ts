/** Names as they are; those that stand more than once with what tells them apart behind them. */
export function distinctNames(
  items: readonly { readonly name: string; readonly id: string }[],
): readonly string[] {
  return items.map(({ name, id }, i) =>
    items.some((other, j) => j !== i && other.name === name) ? `${name} (${id})` : name,
  );
}
