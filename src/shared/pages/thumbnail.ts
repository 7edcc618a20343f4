import * as v from 'valibot';

/** The most characters of a thumbnail: 128 x 128 pixels that cannot be compressed. */
const MOST_CHARACTERS = 80_000;

/**
 * A small copy of an image, as a data: URL of a PNG that the extension has made, and the size of
 * the image itself in pixels; or why it cannot be shown.
 */
export const ThumbnailSchema = v.union([
  v.object({
    url: v.pipe(
      v.string(),
      v.maxLength(MOST_CHARACTERS),
      v.regex(/^data:image\/png;base64,[A-Za-z0-9+/]+={0,2}$/),
    ),
    width: v.number(),
    height: v.number(),
  }),
  v.object({ fault: v.string() }),
]);
export type ShownThumbnail = v.InferOutput<typeof ThumbnailSchema>;
