import { LoraError } from '../../shared/errors';

/**
 * A Modelfile of Ollama: a value ends with its line, is trimmed, loses characters that cannot be
 * printed, and may be in quotes (parser/parser.go).
 */
export function modelfileText(lines: readonly (readonly ['FROM' | 'ADAPTER', string])[]): string {
  for (const [, value] of lines)
    if (/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}|^[\s"]|[\s"]$/u.test(value))
      throw new LoraError('usage', 'A Modelfile cannot name this path.', {
        place: { file: value },
        fix: 'Rename it: use letters, digits and spaces within the name.',
      });
  return lines.map(([key, value]) => `${key} ${value}\n`).join('');
}
