// The version also chooses the runtime's defaults (GODEBUG): keep it the newest.
module peer

go 1.27
