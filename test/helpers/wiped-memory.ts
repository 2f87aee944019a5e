// In every test, and in every supervisor that a test starts (world.ts), memory that is used again is overwritten as soon as it is let go
// of: a view that somebody kept shows as altered bytes.
import { wipeReusedMemory } from '../../src/model/reused-memory.ts';

process.env['TUNNEL_WIPE_MEMORY'] = '1';
wipeReusedMemory();
