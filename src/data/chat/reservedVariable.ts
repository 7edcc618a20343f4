/** What a renderer sets itself, or what is no variable of a template in transformers. */
const RESERVED: readonly string[] = [
  'messages',
  'conversation',
  'add_generation_prompt',
  'continue_final_message',
  'chat_template',
  'tokenize',
  'return_dict',
  'return_assistant_tokens_mask',
];

/** The first name in chat_template_kwargs that is no variable of its own. */
export const reservedVariable = (kwargs: Readonly<Record<string, unknown>>): string | undefined =>
  RESERVED.find((name) => Object.hasOwn(kwargs, name));
