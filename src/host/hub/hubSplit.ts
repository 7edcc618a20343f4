import * as v from 'valibot';
import { parsed } from '../../shared/parsed';

const HubSplitSchema = v.object({
  /** hf://owner/name */
  path: v.string(),
  config: v.nullable(v.string()),
  split: v.nullable(v.string()),
});
const HubDatasetSchema = v.object({
  ...HubSplitSchema.entries,
  files: v.pipe(v.array(v.string()), v.minLength(1), v.readonly()),
});

/** A split of a dataset on the Hub. Without a configuration or a split, the usual one. */
export type HubSplit = Readonly<v.InferOutput<typeof HubSplitSchema>>;

/** A split of a dataset on the Hub, and its files on this disk. */
export type HubDataset = Readonly<v.InferOutput<typeof HubDatasetSchema>>;

/** Undefined for a value that does not fit. */
export const asHubDataset = parsed(HubDatasetSchema);

const TYPED_NAME =
  /^(?:hf:\/\/|https?:\/\/[^/]+\/)?(?:datasets\/)?(\w[\w.-]*\/\w[\w.-]*(?:@[\w./-]+)?)\/?$/;

/** hf://owner/name@revision for what a user types, such as its address; null: no name. */
export function hubName(text: string): string | null {
  const [, name] = TYPED_NAME.exec(text.trim()) ?? [];
  return name === undefined || name.includes('..') ? null : `hf://${name}`;
}
