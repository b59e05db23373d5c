module vdibench.local/pause

go 1.21
