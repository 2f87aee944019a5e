// The failure of a promise that must fail, for looking at it.
import { TunnelError } from '../../src/errors.ts';

/** What `work` rejects with. Throws when it resolves, or rejects with anything but a TunnelError. */
export async function failureOf(work: Promise<unknown>): Promise<TunnelError> {
  let value: unknown;
  try {
    value = await work;
  } catch (thrown) {
    if (thrown instanceof TunnelError) return thrown;
    throw thrown;
  }
  throw new Error(`it did not fail but gave ${String(value)}`);
}
