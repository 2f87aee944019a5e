// The end of ad-hoc tunnels: they live in the state folder until they are taken down.
import { adhocTag, forgetAdhoc } from '../config/adhoc.ts';
import { asTunnelError } from '../errors.ts';
import type { PlaceFacts, SupervisorPlaces } from '../paths.ts';
import type { Engine, EngineLog, KnownTunnel } from '../supervisor/engine.ts';

export interface EndAdhocParts {
  readonly engine: Engine;
  readonly at: Pick<SupervisorPlaces, 'adhoc'>;
  readonly facts: PlaceFacts;
  readonly log: { readonly write: EngineLog };
  readonly writable: boolean;
}

/** Forgets those among the tunnels that are ad-hoc and down. Never throws: that they are down is what counts. */
export async function endAdhoc(names: readonly string[], parts: EndAdhocParts): Promise<void> {
  const { engine, at, facts, log, writable } = parts;
  if (!writable) return;
  const isDown = ({ name, wanted }: KnownTunnel): boolean => names.includes(name) && !wanted;
  const down = engine.known().filter(isDown);
  try {
    const gone = await forgetAdhoc(
      at.adhoc,
      facts,
      down.map(({ name }) => name),
    );
    // One that the file has too is the file's.
    const ours = down.filter(({ name, tags }) => gone.includes(name) && tags.includes(adhocTag));
    engine.forget(ours.map(({ name }) => name));
  } catch (thrown) {
    log.write('error', 'adhoc', `${at.adhoc} cannot be written: ${asTunnelError(thrown).message}`);
  }
}
