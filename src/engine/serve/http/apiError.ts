import { PromptTooLong } from '../../../models/promptTooLong';
import { LoraError } from '../../../shared/errors';
import { oneLine } from '../../../shared/plainText';
import { TooManyRequests } from '../batchScheduler';

interface ApiErrorOptions {
  /** The field of the request. */
  readonly param?: string;
  readonly code?: string;
}

/** An answer that says what is wrong with a request, in OpenAI's shape. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly options: ApiErrorOptions = {},
  ) {
    super(message);
  }

  /** Whatever was thrown. */
  static from(error: unknown): ApiError {
    if (error instanceof ApiError) return error;
    if (error instanceof TooManyRequests)
      return new ApiError(429, `${error.message} Try again later.`, {
        code: 'rate_limit_exceeded',
      });
    const { area, message, fix } = LoraError.from(error, 'engine');
    if (error instanceof PromptTooLong)
      return new ApiError(400, [message, fix].filter(Boolean).join(' '), {
        code: 'context_length_exceeded',
      });
    if (area === 'cancelled') return new ApiError(503, message, { code: 'server_shutting_down' });
    const isOfRequest = area === 'usage' || area === 'tokenizer' || area === 'dataset';
    return new ApiError(isOfRequest ? 400 : 500, [message, fix].filter(Boolean).join(' '));
  }

  get body(): object {
    const { param = null, code = null } = this.options;
    return { error: { message: oneLine(this.message), type: this.type, param, code } };
  }

  private get type(): string {
    if (this.status === 401) return 'authentication_error';
    if (this.status === 429) return 'rate_limit_error';
    return this.status < 500 ? 'invalid_request_error' : 'server_error';
  }
}

/** A request that is refused for one of its fields. */
export const badField = (param: string, rule: string): ApiError =>
  new ApiError(400, `"${param}" ${rule}.`, { param, code: 'invalid_value' });
