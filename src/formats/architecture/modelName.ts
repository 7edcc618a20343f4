import type { Spec } from './spec';

const BODY = 'model.';

/** The name of a module of the language model in the whole model. */
export const nameInModel = (
  name: string,
  { language_model, vision }: Pick<Spec, 'language_model' | 'vision'>,
): string =>
  language_model !== undefined &&
  name.startsWith(BODY) &&
  !name.startsWith(`${language_model}.`) &&
  !(vision && name.startsWith(`${vision.path}.`))
    ? `${language_model}.${name.slice(BODY.length)}`
    : name;
