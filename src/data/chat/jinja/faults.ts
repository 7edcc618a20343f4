/** A template that cannot be parsed, with its line. */
export class TemplateSyntaxFault extends Error {
  override readonly name = 'TemplateSyntaxFault';

  constructor(
    message: string,
    readonly line: number,
  ) {
    super(message);
  }
}

/** What Python would raise while it renders, for example a TypeError. */
export class TemplateFault extends Error {
  override readonly name = 'TemplateFault';

  constructor(
    readonly type: string,
    message: string,
  ) {
    super(message);
  }
}

/** The template itself refuses what it is given (raise_exception). */
export class TemplateRefusal extends Error {
  override readonly name = 'TemplateRefusal';
}

/** The template takes more steps, text or depth than it may. */
export class BudgetExceeded extends Error {
  override readonly name = 'BudgetExceeded';
}

export function typeError(message: string): TemplateFault {
  return new TemplateFault('TypeError', message);
}

export function valueError(message: string): TemplateFault {
  return new TemplateFault('ValueError', message);
}
