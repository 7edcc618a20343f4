import { LoraError } from '../../shared/errors';

/**
 * The address of the Hub: HF_ENDPOINT, without a slash at its end.
 *
 * @throws LoraError('usage') where it is no address
 */
export function hubEndpoint(): string {
  const endpoint = (process.env['HF_ENDPOINT'] || 'https://huggingface.co').replace(/\/+$/, '');
  if (/^https?:\/\//i.test(endpoint) && URL.canParse(endpoint)) return endpoint;
  throw new LoraError('usage', 'HF_ENDPOINT is not the address of a Hub server.', {
    fix: 'Write it as https://huggingface.co.',
  });
}

/** HF_TOKEN, for what is not public. @throws LoraError('usage') where it is no token */
export function hubToken(): string | null {
  const token = process.env['HF_TOKEN'] ?? '';
  if (token === '') {
    return null;
  }
  if (!token.startsWith('hf_')) {
    throw new LoraError('usage', 'HF_TOKEN is not an access token of the Hub.', {
      fix: 'Use a token from your Hub settings; it begins with hf_.',
    });
  }
  return token;
}
