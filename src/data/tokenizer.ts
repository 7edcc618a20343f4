/** The tokenizer of a base model, for programs that render chats as the engine does. */
export { createTokenizer } from './tokenizer/createTokenizer';
