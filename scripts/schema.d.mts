/** Writes a file unless it has this text. */
export function writeGenerated(file: string, text: string): void;
