import { isObject } from '../../../shared/values';
import { ApiError, badField } from './apiError';

/** Fields that change nothing of an answer. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  'user',
  'metadata',
  'store',
  'service_tier',
  'safety_identifier',
  'prompt_cache_key',
]);

/** Fields that are accepted with the value that changes nothing. */
const NEUTRAL: Readonly<Record<string, unknown>> = {
  best_of: 1,
  echo: false,
  suffix: '',
  logit_bias: {},
  modalities: ['text'],
  response_format: { type: 'text' },
};

/**
 * The given fields of an object that are known; null counts as left out.
 *
 * @param place Where the object is in the request: "messages.3.", or empty.
 * @throws ApiError for a field that would change the answer and that no code reads.
 */
export function knownFields(
  value: unknown,
  known: readonly string[],
  place = '',
): Readonly<Record<string, unknown>> {
  if (!isObject(value) || Array.isArray(value))
    throw place === ''
      ? new ApiError(400, 'The body must be a JSON object.')
      : badField(place.slice(0, -1), 'must be an object');
  const given = Object.entries(value).filter(([, own]) => own !== null && own !== undefined);
  const others = given.filter(([name]) => !known.includes(name));
  for (const [name, own] of others) {
    if (place === '' && WITHOUT_EFFECT.has(name)) continue;
    if (place !== '' || !Object.hasOwn(NEUTRAL, name))
      throw badField(`${place}${name}`.slice(0, 200), 'is not supported');
    const neutral = JSON.stringify(NEUTRAL[name]);
    if (JSON.stringify(own) !== neutral)
      throw badField(name, `must be ${neutral}: nothing else is supported`);
  }
  return Object.fromEntries(given.filter(([name]) => known.includes(name)));
}
