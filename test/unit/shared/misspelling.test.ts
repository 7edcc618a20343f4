import { describe, expect, it } from 'vitest';
import {
  misspellingIn,
  missingKeyMessage,
  unknownKeyMessage,
} from '../../../src/shared/misspelling';

describe('a misspelled key', () => {
  it.each([unknownKeyMessage, missingKeyMessage])('is found in the message about it', (message) => {
    for (const misspelling of [
      { key: 'promt', meant: 'prompt' },
      { key: 'a "quoted" key', meant: 'text' },
    ])
      expect(misspellingIn(message(misspelling))).toEqual(misspelling);
  });

  it('is found in no other message', () => {
    expect(misspellingIn('"text" is missing.')).toBeNull();
    expect(misspellingIn('The row is empty.')).toBeNull();
  });
});
