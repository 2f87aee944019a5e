// Bugs of ours, as the log keeps them: with the stack, which is for nobody's eyes but ours.
import { TunnelError } from '../errors.ts';

/** The stack of what was thrown first. */
export function stackOf(thrown: unknown): string {
  const root = thrown instanceof TunnelError && thrown.cause instanceof Error ? thrown.cause : thrown;
  return root instanceof Error ? (root.stack ?? root.message) : String(root);
}
