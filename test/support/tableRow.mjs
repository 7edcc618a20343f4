/** A row of the table of runs, of a completed run. */
export const tableRow = (name, r, loss, { tags = [], sweep = '' } = {}) => ({
  dir: `/runs/${name}`,
  name,
  tags,
  numbers: {
    r,
    alpha: 2 * r,
    loss,
    validation: loss,
    training: loss + 0.1,
    steps: 114,
    time: 60 + r,
    rate: 0.0002,
    batch: 4,
    parameters: 9216 * r,
    started: Date.UTC(2026, 0, 2, 3, r),
  },
  texts: {
    state: 'Completed',
    base: 'SmolLM2-135M-Instruct',
    dataset: 'train.jsonl',
    recipe: 'lora.json',
    targets: 'all-linear',
    tags: tags.map((tag) => `#${tag}`).join(' '),
    sweep,
  },
  search: `${name} ${tags.map((tag) => `#${tag}`).join(' ')} ${sweep}`,
});
