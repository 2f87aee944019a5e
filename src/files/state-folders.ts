// The folders a supervisor writes to: made, judged, and told apart from ones that cannot be written.
import { accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
import { ensureOwnFolder, type Owner } from './owned-folder.ts';
import { TunnelError } from '../errors.ts';
import { isUnwritable } from './errno.ts';
import { systemFailure } from './system-failure.ts';
import type { Places, SupervisorPlaces } from '../paths.ts';

/**
 * Makes the state folders of a supervisor. False: they cannot be made or written (a read-only file system), which only
 * a supervisor in the foreground can live with. Throws DAEMON_DOWN when one is not ours alone.
 */
export function prepareStateFolders(places: Places, at: SupervisorPlaces, owner: Owner): boolean {
  try {
    // $TUNNEL_HOME is a folder that the user made himself: others may look at it, since what is inside is 0600.
    const homemade = places.stateDir === dirname(places.defaultConfig);
    ensureOwnFolder(places.stateDir, owner, homemade ? 'unwritable' : 'private');
    ensureOwnFolder(places.machineDir, owner);
    ensureOwnFolder(at.folder, owner);
    accessSync(at.folder, constants.W_OK);
    return true;
  } catch (thrown) {
    if (thrown instanceof TunnelError) throw thrown;
    const { code } = thrown as NodeJS.ErrnoException;
    if (isUnwritable(code)) return false;
    throw systemFailure(thrown, 'supervisor start', at.folder);
  }
}

export function readOnlyState(at: SupervisorPlaces): TunnelError {
  return new TunnelError(
    'DAEMON_DOWN',
    `the supervisor cannot start: its folder, ${at.folder}, cannot be written`,
    {
      hint: 'tunnel up --foreground    # or set XDG_STATE_HOME to a folder of yours',
    },
  );
}
