#error "Duel's headers found this project's engine/net.h instead of their own"
