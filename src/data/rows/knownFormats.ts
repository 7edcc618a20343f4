import type { RowForm } from '../../shared/objective';

/** The keys that rows of a form can have, for messages. */
export const KNOWN_FORMATS: Readonly<Record<RowForm, string>> = {
  causal_lm:
    'messages; conversations; prompt and completion; instruction, input and output; text; input_ids and labels',
  seq2seq_lm: 'prompt and completion; instruction, input and output',
  seq_cls: 'text and label (or labels), with text_pair where two texts belong together',
  token_cls: 'tokens and tags, one for each word',
  image_cls: 'a folder for each class, with images in it',
  features: 'a column for each number that the model reads, and label',
  embedding:
    'anchor and positive, with negative, negative_1 … or negatives; or sentence1, sentence2 and score',
  contrastive: 'image (the path of a file) and text (or caption)',
  reranker:
    'query, document (or text) and score (or label); or query, documents and scores (or labels)',
  preference:
    'prompt, chosen and rejected; chosen and rejected; prompt_ids, chosen_ids and rejected_ids',
  unpaired: 'prompt, completion and label; prompt_ids, completion_ids and label',
};
